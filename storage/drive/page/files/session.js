// Signing in and out.

import { get, post } from "./api.js";

const byId = (id) => document.getElementById(id);
const levels = ["view", "operate", "upload"];

// A Session is who is at the page.
export class Session {
  user = "";
  role = "view";

  // may says whether the role suffices.
  may(role) { return levels.indexOf(this.role) >= levels.indexOf(role); }

  // check asks the server who this is. It throws the error of the call.
  async check() {
    const { user, role } = await get("auth/check");
    this.user = user;
    this.role = role;
    byId("who").hidden = user === "";
    byId("user").textContent = `${user} (${role})`;
    for (const e of document.querySelectorAll("[data-role]")) e.hidden = !this.may(e.dataset.role);
  }

  // signIn shows the form, and resolves when somebody has signed in.
  signIn() {
    const form = byId("signin"), error = byId("signin-error"), button = form.querySelector("button");
    if (!form.hidden) return this.#signingIn;
    byId("app").hidden = byId("who").hidden = true;
    form.hidden = false;
    error.textContent = "";
    form.elements.user.focus();
    this.#signingIn = new Promise((resolve) => {
      form.onsubmit = async (event) => {
        event.preventDefault();
        error.textContent = "";
        button.disabled = true;
        try {
          await post("auth/login", {}, new URLSearchParams(new FormData(form)));
          form.hidden = true;
          form.reset();
          resolve();
        } catch (e) {
          error.textContent = e.name === "ForbiddenError" ? "The user or the password is wrong." : e.message;
          form.elements.passwd.select();
        } finally {
          button.disabled = false;
        }
      };
    });
    return this.#signingIn;
  }
  #signingIn;

  signOut() { return post("auth/logout"); }
}
