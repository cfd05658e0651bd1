"""The product's own services, jobs and stores."""
