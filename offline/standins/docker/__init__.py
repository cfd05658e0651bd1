"""Stand-in for the official Docker plugin 5.2.0: networks, volumes, images, containers, Swarm services.

Reading order: `schema` (properties of each type) → `check` (defaults, validation) → `plan` (the state after a change) →
`diff` (the changed properties) → `state` (outputs) → `server` (the plugin). Its operations: `conversion` (properties ↔
the API's JSON) → `base` (create, read, update, delete) → one module per kind of object.
"""
