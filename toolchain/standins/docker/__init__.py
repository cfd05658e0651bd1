"""Stand-in for the official Docker plugin 5.2.0: networks, volumes, images, containers, Swarm services.

Reading order: `schema` (what each type has) → `check` (defaults, validation) → `plan` (what a change leads to) →
`diff` (the same as a list of properties) → `state` (outputs) → `server` (the plugin) → one module a resource.
"""
