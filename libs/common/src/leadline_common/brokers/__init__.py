"""The adapters of the broker port: `embedded` in this process, `rabbitmq` for several."""
