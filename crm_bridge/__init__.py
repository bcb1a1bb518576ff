"""Leads and transcripts: what the journal tells about customers, made into what the CRM keeps.

    journal rows ──reader──► facts from SQL ──rules, transcript (pure)──► drafts ──► Crm.put_lead, put_transcript ──► cursor

The cursor moves after the drafts are kept, so a crash in between repeats them, and every `Crm` takes a repeat for what it is:
nothing is missed, nothing is kept twice.
"""
