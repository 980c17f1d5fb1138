"""The pages, by subject: each a router of a few handlers that ask `views` and render a template."""
