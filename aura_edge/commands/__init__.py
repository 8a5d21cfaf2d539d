"""The subcommands that live in the runtime; each assembles rooms, and does nothing that a room should do."""
