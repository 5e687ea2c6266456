"""The database that scores, pools, monitoring and replicas share: connection, tables and migrations."""
