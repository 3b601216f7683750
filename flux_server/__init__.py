"""The self-hosted service of Flux: catalog, Stripe connector, provisioning, usage, API, dashboard, CLI."""
