/* The page: session, stream, routes. */
import { endSession, getJson, isRefused, openSession } from "./api.js";
import { haveCharts, loadCharts } from "./chart.js";
import { setText } from "./dom.js";
import { JobPage } from "./job.js";
import { ListPage } from "./list.js";
import { ModelsPage } from "./models.js";
import { SignInPage } from "./signin.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import { SweepPage } from "./sweep.js";

const ROUTES = [
  [/^#\/jobs\/(\w+)$/, (id) => new JobPage(store, id)],
  [/^#\/sweeps\/(\w+)$/, (id) => new SweepPage(store, id)],
  [/^#\/models$/, () => new ModelsPage()],
  [/^/, () => new ListPage(store)],
];

const RETRY_MS = 2000;
const store = new Store();
const view = document.getElementById("view");
const badge = document.getElementById("badge");
const signOut = document.getElementById("signout");
let stream = null, page = null;

function present(next) {
  page?.close();
  page = next;
  view.replaceChildren(page.element);
  entitle();
}

function entitle() {
  document.title = `${page.title} · distilld`;
}

function route() {
  for (const [pattern, make] of ROUTES) {
    const match = pattern.exec(location.hash);

    if (match) {
      present(make(match[1]));
      return;
    }
  }
}

/* The token stands in the fragment, which never left the browser. It is taken out of the address
 * before anything else happens, and nobody keeps it. */
function takeToken() {
  const match = /^#token=(.+)$/.exec(location.hash);

  if (match)
    history.replaceState(null, "", location.pathname);
  return match && decodeURIComponent(match[1]);
}

function showStatus(status, text) {
  badge.dataset.status = status;
  setText(badge, text);
}

function signIn(why) {
  stream?.close();
  stream = null;
  signOut.hidden = true;
  showStatus("stale", "no session");
  present(new SignInPage(start, why));
}

function openStream() {
  stream?.close();
  stream = new Stream({
    event: (kind, data) => {
      store.take(kind, data);
      page.onEvent(kind, data);
      entitle();
    },
    status: showStatus,
    refused: () => signIn(),
  });
  signOut.hidden = false;
}

/* With a session, or to find out whether there is one. */
async function start() {
  showStatus("stale", "connecting");
  try {
    const { charts } = await getJson("/version");

    if (charts && !haveCharts())
      await loadCharts();
  } catch (error) {
    if (isRefused(error))
      signIn();
    else
      setTimeout(start, RETRY_MS);
    return;
  }
  openStream();
  route();
}

async function enter() {
  try {
    const token = takeToken();

    if (token)
      await openSession(token);
  } catch (error) {
    signIn(error.status === 401 ? "The token in this address is not accepted." : error.message);
    return;
  }
  start();
}

function go() {
  if (location.hash.startsWith("#token=")) {
    enter();
  } else if (stream) {
    route();
    view.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

/* The fragment is the route, so this link must not change it. */
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  view.focus();
});
signOut.addEventListener("click", async () => {
  try {
    await endSession();
    signIn("You have signed out.");
  } catch (error) {
    if (isRefused(error))
      signIn();
    else
      showStatus("stale", error.message);
  }
});
addEventListener("hashchange", go);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page?.restyle?.());
enter();
