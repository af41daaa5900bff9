"""The report: one HTML file that shows what run folders hold and opens offline."""
