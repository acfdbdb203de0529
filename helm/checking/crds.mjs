// Validates custom resources against the schemas of their makers, by @kubernetes-models.
// Reads a JSON list of objects from standard input; prints one line a problem.
import { PodMonitor, PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { ScaledObject, TriggerAuthentication } from "@kubernetes-models/keda/keda.sh/v1alpha1";

const known = { PodMonitor, PrometheusRule, ServiceMonitor, ScaledObject, TriggerAuthentication };
let text = "";
for await (const chunk of process.stdin) text += chunk;
for (const object of JSON.parse(text)) {
  const Model = known[object.kind];
  const name = `${object.kind} ${object.metadata.name}`;
  if (!Model) {
    console.log(`${name}: no schema for this kind`);
    continue;
  }
  try {
    new Model(object).validate();
  } catch (error) {
    console.log(`${name}: ${error.message}`);
  }
}
