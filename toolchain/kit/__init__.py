"""The image kit: builds images that behave as the official ones do, where no image registry can be reached."""
