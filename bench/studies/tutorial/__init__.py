"""The pictures of docs/tutorial.md, made by the code that stands in it."""
