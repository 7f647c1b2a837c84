"""How counters become use, and use becomes money."""
