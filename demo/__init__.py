"""The demo workload that the dev stack runs: a small poll service, its frontend, its migrations."""
