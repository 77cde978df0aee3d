"""Memory: what was computed from what, which version is current where, and what the runs did."""
