"""Where bytes come from and go to: paths, URIs, HTTP and object stores."""
