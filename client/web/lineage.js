/* Which model stands under which: a student under its teacher, a model under that whose weights it began
 * with. */
export function title({ name, version }) {
  return `${name}@${version}`;
}

/* "big@2", or undefined for one that comes from no other. */
export function origin({ lineage }) {
  const parent = lineage?.teacher ?? lineage?.start;

  return parent ? `${parent.model}@${parent.version}` : undefined;
}

/* [{model, depth}]: each model behind the one that it comes from, if that is listed, and otherwise in the
 * order of the list. */
export function familyOrder(models) {
  const listed = new Set(models.map(title)), out = [];
  const add = (model, depth) => {
    out.push({ model, depth });
    models.filter((m) => origin(m) === title(model)).forEach((m) => add(m, depth + 1));
  };

  models.filter((m) => !listed.has(origin(m))).forEach((m) => add(m, 0));
  return out;
}
