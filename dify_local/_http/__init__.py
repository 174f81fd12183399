"""Where a request enters: the web application, its endpoints, what they read and send."""
