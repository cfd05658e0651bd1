"""The seam to Docker: containers, jobs, volumes and files, which components create through it."""
