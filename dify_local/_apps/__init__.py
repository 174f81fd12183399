"""The apps and their input forms."""
