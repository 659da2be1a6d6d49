"""`python -m deploy.render`, also `make manifests`: writes every file that is made from code."""

from deploy.render import dashboards, http_route, nginx_routes, openapi, prometheus_rule

for made in (http_route, nginx_routes, openapi, prometheus_rule):
    made.TARGET.write_text(made.render(), encoding="utf-8")
for target, render in dashboards.TARGETS.items():
    target.write_text(render(), encoding="utf-8")
