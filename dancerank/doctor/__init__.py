"""Looks at everything that the settings name, and at settings of clusters that would hurt before they do."""
