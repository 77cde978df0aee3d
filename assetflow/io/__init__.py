"""Values at rest: IO managers, durable files, data hashes. The only room that knows dataframes."""
