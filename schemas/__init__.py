"""What everything else agrees on: readings, frames, alerts, cases, rules, topics, settings.

Glossary (code name, 中文): gateway 网关 publishes frames; a frame holds readings 监测数据 of
points 测点; a registered point is a sensor 传感器 of one category 监测项 in one zone 片区
(zones belong to districts 区市). A rule 预警规则 turns scores into episodes and alerts 报警;
alerts are grouped into cases 案件, which units 处置单位 handle. Level 1 (red) is the most severe.

Facts only: nothing here does I/O, and nothing here imports another package of this project.
"""
