"""From labelled pictures to an artifact: data, networks, training, export and the report."""
