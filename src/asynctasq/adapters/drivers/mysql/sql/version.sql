SELECT MAX(version) FROM {version}
