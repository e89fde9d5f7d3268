/* Elements without markup in strings: h("a", {href: "#/"}, "Jobs"). Attributes with the value null or
 * false are left out; children may be strings, elements, lists of them, or null. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);

  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on"))
      element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/* Changes the text only if it is another one, so that selections and screen readers are left alone. */
export function setText(element, text) {
  if (element.textContent !== text)
    element.textContent = text;
}

export function show(element, visible) {
  element.hidden = !visible;
}
