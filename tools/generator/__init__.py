"""The parts of tools/gen.py: declarations in, generated files out."""
