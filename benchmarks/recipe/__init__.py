"""Why the default recipe has the settings that it has."""
