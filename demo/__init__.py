"""The demo workload that the dev stack runs in place of a product's own images."""
