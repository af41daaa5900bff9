"""Numbers of the weights themselves, without a forward pass: spectra, entries, updates. Arrays only, no torch."""
