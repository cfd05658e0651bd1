"""The image kit: builds images that behave like the official ones, for machines that reach no image registry."""
