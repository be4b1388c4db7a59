"""Determine the media type, transform and options of a user's item, such as a path, array or decoder."""
