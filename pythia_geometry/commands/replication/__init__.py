"""The stages of `pythia-geom replicate`: each calls what the command of its own calls."""
