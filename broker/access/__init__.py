"""Who somebody is and what they may do: passwords, logins, cookies, and one `authorize`."""
