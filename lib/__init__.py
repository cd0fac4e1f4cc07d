"""The thin library behind the book: what a chapter imports, one idea a module."""
