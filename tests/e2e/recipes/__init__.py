"""The recipes of examples/, run by many processes at once and judged."""
