"""Parts of the deployment that are made from code: each module has a TARGET and a render()."""
