"""What tests of several folders share. No test module imports from another test module; it imports from here."""
