"""What the Node provider knows: package managers, frameworks, package.json."""
