"""What can be asked over HTTP and on the command line, and the answers, one module to a subject."""
