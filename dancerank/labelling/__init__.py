"""A training set from what really happened: counts from the database, features from the uploads topic."""
