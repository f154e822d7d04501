import type { MetricObjectWithValues, MetricValue } from 'prom-client';

/** What a process counts, as JSON of prom-client's. */
export type MetricsJson = MetricObjectWithValues<MetricValue<string>>[];

/** Those of them that only ever grow. */
export const countersOf = (metrics: MetricsJson): MetricsJson =>
  metrics.filter(({ type }) => ['counter', 'histogram'].includes(String(type)));
