SELECT max(version) FROM {schema}.version
