"""Any item of a user, as a path, array or decoder: which transform embeds it, with which options."""
