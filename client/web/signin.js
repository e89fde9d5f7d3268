/* Shown to a browser without a session. */
import { openSession } from "./api.js";
import { h, setText } from "./dom.js";

export class SignInPage {
  constructor(onSession, why) {
    const token = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
    const said = h("p", { class: "said", role: "alert" }, why ?? "");

    this.title = "Sign in";
    this.element = h("section", { class: "card signin" }, h("h1", {}, "No session"),
      h("p", {}, "Open the address that ", h("code", {}, "distillctl dashboard"),
        " prints, or give the access token here."),
      h("form", { onsubmit: async (event) => {
        event.preventDefault();
        const given = token.value.trim();
        token.value = "";
        try {
          await openSession(given);
          onSession();
        } catch (error) {
          setText(said, error.status === 401 ? "This token is not accepted." : error.message);
        }
      } }, h("label", { for: "token" }, "Access token"), token, h("button", {}, "Sign in")), said);
  }

  close() {}

  onEvent() {}
}
