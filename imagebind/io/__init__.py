"""Reading and writing bytes: paths, URIs, HTTP and object stores."""
