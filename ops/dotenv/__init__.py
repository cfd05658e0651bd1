"""The import of a .env file into a stack file and its secrets."""
