// What keeps somebody from reading or using the page that this is run in: a list of sentences, empty if nothing does.
() => {
  const found = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (element) => element.checkVisibility({ checkOpacity: true, visibilityProperty: true });
  const words = (element) => (element?.textContent ?? "").trim();
  const named = (element) => `<${element.tagName.toLowerCase()} ${element.id || element.name || element.className}>`;
  const complain = (element, what) => found.push(`${named(element)} ${what}`);
  const nameOf = (element) =>
    element.getAttribute("aria-label") || words(document.getElementById(element.getAttribute("aria-labelledby"))) ||
    [...(element.labels ?? [])].map(words).join(" ") || element.getAttribute("alt") || "";

  for (const control of all("input:not([type=hidden]), select, textarea")) if (!nameOf(control)) complain(control, "has no label");
  for (const control of all("a[href], button, summary")) if (!nameOf(control) && !words(control)) complain(control, "has no words");
  for (const image of all("img, svg[role=img]")) if (!nameOf(image)) complain(image, "has no alternative");
  for (const image of all("svg:not([role=img])")) if (image.getAttribute("aria-hidden") !== "true") complain(image, "is not hidden");
  for (const place of all("nav, section, pre[tabindex]")) if (!nameOf(place)) complain(place, "is a place without a name");
  for (const header of all("th")) if (!header.scope) complain(header, "has no scope");
  for (const header of all("th")) if (!words(header)) complain(header, "is empty");
  for (const group of all("fieldset")) if (!words(group.querySelector("legend"))) complain(group, "has no legend");
  for (const attribute of ["aria-describedby", "aria-labelledby", "for", "list"])
    for (const element of all(`[${attribute}]`))
      for (const id of element.getAttribute(attribute).split(/\s+/))
        if (!document.getElementById(id)) complain(element, `points with ${attribute} to nothing: ${id}`);
  const ids = all("[id]").map((element) => element.id);
  for (const id of new Set(ids)) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`the id ${id} is there twice`);

  if (!document.documentElement.lang) found.push("the page says no language");
  if (!document.title) found.push("the page has no title");
  if (all("main").length !== 1) found.push("there is not exactly one main");
  const levels = all("h1, h2, h3, h4, h5, h6").map((heading) => Number(heading.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) found.push("there is not exactly one h1");
  levels.forEach((level, place) => { if (level > (levels[place - 1] ?? 0) + 1) found.push(`an h${level} skips a level`); });

  const channels = (color) => {
    const numbers = color.match(/[\d.]+/g).map(Number);
    const [red, green, blue] = color.startsWith("color(") ? numbers.slice(-4).map((each) => each * 255) : numbers;
    return { red, green, blue, alpha: color.startsWith("rgba") ? numbers[3] : 1 };
  };
  const luminance = ({ red, green, blue }) => {
    const [r, g, b] = [red, green, blue].map((each) => each / 255).map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = channels(getComputedStyle(each).backgroundColor);
      if (color.alpha === 1) return color;
      if (color.alpha > 0) complain(each, "has a background that is half transparent");
    }
    return channels(getComputedStyle(document.documentElement).backgroundColor);
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!words(texts.currentNode) || !shown(element) || element.closest("svg, option, datalist, script")) continue;
    const ratio = contrast(channels(getComputedStyle(element).color), behind(element));
    if (ratio < 4.5) complain(element, `has a contrast of ${ratio.toFixed(2)}: ${words(texts.currentNode)}`);
  }
  for (const control of all("input:not([type=hidden]), select").filter(shown)) {
    const ratio = contrast(channels(getComputedStyle(control).borderColor), behind(control.parentElement));
    if (ratio < 3 && !["radio", "checkbox"].includes(control.type)) complain(control, `has a border of contrast ${ratio.toFixed(2)}`);
  }
  const beyond = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (beyond > 0) found.push(`the page is ${beyond} pixels wider than the window`);
  return found;
};
