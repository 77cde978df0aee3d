"""From a folder to a project: settings, the user's modules, definitions checked against each other, the manifest."""
