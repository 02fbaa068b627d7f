"""Written pages whose every number, table and figure comes from the store."""
