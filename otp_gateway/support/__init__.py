"""Words for support staff, in two languages: for the panel and for the commands."""
